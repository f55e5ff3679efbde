"""The administrator's sample as it is shipped, and what makes a hub of it that a test can have."""

import json
import os
from pathlib import Path

c = get_config()  # noqa: F821 - JupyterHub gives it
test = json.loads(Path(os.environ["TEST_HUB"]).read_text())

load_subconfig(test["sample"])  # noqa: F821

c.JupyterHub.bind_url = test["bind_url"]
c.JupyterHub.hub_bind_url = test["hub_bind_url"]
c.ConfigurableHTTPProxy.api_url = test["proxy_api_url"]
c.ConfigurableHTTPProxy.command = [*test["proxy"], "--log-level=info"]
c.ConfigurableHTTPProxy.pid_file = test["folder"] + "/proxy.pid"
c.ConfigurableHTTPProxy.check_running_interval = 1
c.JupyterHub.db_url = f"sqlite:///{test['folder']}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = test["folder"] + "/cookie_secret"
# How soon the hub sees that a route or a server has gone, and that a server was used.
c.JupyterHub.last_activity_interval = 1
c.Spawner.poll_interval = 1

c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = test["password"]
c.Authenticator.allowed_users = set(test["users"])

c.Spawner.environment["JUPYTERHUB_ACTIVITY_INTERVAL"] = "2"
c.Spawner.environment["JUPYTER_EXPORT_LEASE_DIR"] = test["lease_dir"]
# A machine that is kept busy by other tests is no reason for a GPU to count as hanging.
c.Spawner.environment["JUPYTER_EXPORT_PROBE_TIMEOUT"] = "120"
# Where others keep all cores busy, exports would starve: what administrators.md says for this.
c.Spawner.environment["JUPYTER_EXPORT_WORKER_SCHEDULING"] = "batch"
c.Spawner.environment["PYTHONPATH"] = test["repository"]
c.Spawner.args = ["--LabApp.expose_app_in_browser=True"]
c.Spawner.http_timeout = 240
c.Spawner.start_timeout = 240


def hand_over(spawner):
    """What the next servers find in their environment, and how they are started, besides."""
    folder = Path(test["folder"])
    spawner.environment.update(json.loads((folder / "environment.json").read_text()))
    for name, value in json.loads((folder / "spawner.json").read_text()).items():
        setattr(spawner, name, value)


c.Spawner.pre_spawn_hook = hand_over

scopes = ["admin:users", "admin:servers", "admin:server_state", "tokens", "list:users", "shutdown"]
c.JupyterHub.services.append({"name": "tests", "api_token": test["token"]})
c.JupyterHub.load_roles.append({"name": "tests", "scopes": scopes, "services": ["tests"]})
c.JupyterHub.load_roles.append(
    {
        "name": "short-culler",
        "scopes": c.JupyterHub.load_roles[0]["scopes"],
        "services": ["short-culler"],
    }
)
c.JupyterHub.services.append({"name": "short-culler", "api_token": test["culler_token"]})

# As in administrators.md.
c.JupyterHub.services.append({"name": "prometheus", "api_token": test["metrics_token"]})
c.JupyterHub.load_roles.append(
    {"name": "prometheus", "scopes": ["access:servers"], "services": ["prometheus"]}
)
