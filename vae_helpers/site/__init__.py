"""The web edition: the notebooks as pages whose explorers work without a kernel."""
