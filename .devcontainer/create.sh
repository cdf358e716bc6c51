#!/usr/bin/env bash
# Run once, in the project folder, when the container is made. After it `make lab` starts at once.
set -euo pipefail
make .venv/ready
# In Codespaces a page of JupyterLab comes from an address of its own. The token still has to be right.
mkdir -p .venv/etc/jupyter
cat > .venv/etc/jupyter/jupyter_server_config.json <<'JSON'
{"ServerApp": {"allow_origin_pat": "https://[a-z0-9-]+\\.app\\.github\\.dev$", "open_browser": false}}
JSON
