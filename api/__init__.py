"""The registry service: who may reach which gateway, and since which revision."""
