"""Steps between decoding and encoding; each effect is one small file."""
