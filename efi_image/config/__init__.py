"""What the user asks for: environment.config, options, manifests."""
