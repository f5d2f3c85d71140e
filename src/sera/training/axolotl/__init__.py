"""Training by Axolotl, in an environment of its own."""
