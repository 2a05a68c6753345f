"""What runs in the processes of the sandbox, without anything of the service's: not even its environment."""
