"""The one command worldsim and its verbs."""
