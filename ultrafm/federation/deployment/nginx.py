"""The public door: an nginx that hands on what sites need of Flower, and answers 403 to everything else.

Flower serves sites, its runtime and its control on one port, and the control asks nobody who they are: whoever reaches
it can start any run. So only the paths below are published, each by its exact name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from ultrafm.errors import UltraFMError
from ultrafm.federation.deployment.keys import AUTHORITY, SERVER, SERVER_KEY
from ultrafm.federation.deployment.plans import Plan
from ultrafm.files import write_text

# What a registered SuperNode calls. Flower's register-node and unregister-node are left out: the plan registers.
PUBLISHED = (
    "activate-node", "deactivate-node", "send-node-heartbeat", "pull-messages", "push-messages", "get-run", "get-fab",
    "push-object", "pull-object", "confirm-message-received",
)  # fmt: skip
LARGEST_BODY = "16m"  # Flower cuts models into chunks of 5 MiB

CONFIGURATION = """# Written by `ultrafm federation coordinator`; it is written again at every start.
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/unused_fastcgi;
    uwsgi_temp_path {folder}/unused_uwsgi;
    scgi_temp_path {folder}/unused_scgi;
    server_tokens off;
    upstream superlink {{ server {control}; keepalive 32; }}
    server {{
        listen {port} ssl;
        server_name {host};
        ssl_certificate {keys}/{server};
        ssl_certificate_key {keys}/{server_key};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:sites:1m;
        # A chunk of a model stays in memory: nothing of a model is written to this machine's disk by nginx.
        client_max_body_size {largest};
        client_body_buffer_size {largest};
        proxy_max_temp_file_size 0;
        client_header_timeout 30s;
        client_body_timeout 120s;
        send_timeout 120s;
        keepalive_timeout 75s;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_connect_timeout 5s;
        proxy_read_timeout 120s;
        proxy_send_timeout 120s;
        proxy_ssl_verify on;
        proxy_ssl_name localhost;
        proxy_ssl_trusted_certificate {keys}/{authority};
        location / {{ return 403; }}
{locations}
    }}
}}
"""
LOCATION = """        location = /v1/fleet/{name} {{
            limit_except POST {{ deny all; }}
            proxy_pass https://superlink/v1/fleet/{name};
        }}"""


def nginx_configuration(plan: Plan) -> str:
    """The text of nginx.conf for a plan."""
    return CONFIGURATION.format(
        folder=nginx_folder(plan), control=plan.control, port=plan.port, host=plan.host, keys=plan.keys,
        server=SERVER, server_key=SERVER_KEY, authority=AUTHORITY, largest=LARGEST_BODY,
        locations="\n".join(LOCATION.format(name=name) for name in PUBLISHED),
    )  # fmt: skip


def nginx_folder(plan: Plan) -> Path:
    """Where nginx keeps its logs."""
    return plan.folder / "nginx"


def write_nginx(plan: Plan) -> Path:
    """Write nginx.conf; returns its path. Raises UltraFMError for a path that nginx would misread."""
    for path in (plan.folder, plan.keys):
        if any(letter in str(path) for letter in " ;{}\"'$\\#"):
            raise UltraFMError(
                str(path), "a space or a sign that nginx misreads", "a plain path", "choose another folder"
            )
    path = nginx_folder(plan) / "nginx.conf"
    write_text(path, nginx_configuration(plan))
    return path


def find_nginx() -> str | None:
    """The nginx of this machine, if there is one; Debian keeps it out of ordinary users' paths."""
    return shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def nginx_command(configuration: Path) -> list[str]:
    """The command that starts nginx with a configuration. Raises UltraFMError when nginx is missing or refuses it."""
    if (nginx := find_nginx()) is None:
        raise UltraFMError("nginx", "no such program", "nginx on this machine", "apt-get install nginx-light")
    command = [nginx, "-e", str(configuration.parent / "error.log"), "-c", str(configuration)]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
    if checked.returncode:
        raise UltraFMError(str(configuration), checked.stderr.strip()[-500:], "a configuration that nginx accepts")
    return command
