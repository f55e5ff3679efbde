"""What this machine can truly do: encoders by trial, with the reason for each no."""
