"""The media engine on PyAV: open, probe, plan, render, assemble. Knows no jobs, no servers."""
