"""Upscaling with Real-ESRGAN models: weights, networks, and an engine that stays within memory.

Only this package may import torch, and only when it works: listing, downloading, estimating and
refusing need nothing but the standard dependencies.
"""
