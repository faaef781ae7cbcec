"""Tables, trees, drawings and JSON for people and programs."""
