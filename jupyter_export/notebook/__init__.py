"""What notebook code uses: the client and the discovery of its server."""
