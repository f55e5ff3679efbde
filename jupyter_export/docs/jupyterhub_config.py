"""A JupyterHub whose users export videos on one host and share its GPUs and cores.

The pages behind it: administrators.md. Start it with ``jupyterhub -f jupyterhub_config.py``.
"""

import sys

c = get_config()  # noqa: F821 - JupyterHub gives it

# What every user's server is told of exports; the page on settings has them all. Users can
# choose otherwise for themselves: what they share is kept fair by the leases, whatever they choose.
c.Spawner.environment = {
    # Made once for all users (administrators.md has the line), on a disk of this host.
    "JUPYTER_EXPORT_LEASE_DIR": "/run/jupyter-export",
    "JUPYTER_EXPORT_MAX_CONCURRENT_EXPORTS": "2",
    "JUPYTER_EXPORT_GPU_EXPORTS_PER_DEVICE": "2",
    "JUPYTER_EXPORT_NVENC_SESSIONS": "8",
    # A server without its user stays up for its exports, but not for longer than this.
    "JUPYTER_EXPORT_KEEP_ALIVE_HOURS": "24",
    # Seconds between a server's reports that it is in use: well below the culler's patience.
    "JUPYTERHUB_ACTIVITY_INTERVAL": "300",
}

# Ends the servers that nobody has used for an hour and that have no exports to do.
c.JupyterHub.services = [
    {
        "name": "idle-culler",
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=3600"],
    },
]
c.JupyterHub.load_roles = [
    {
        "name": "idle-culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["idle-culler"],
    },
]

# Several servers per user, each with a queue of its own.
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = 3
