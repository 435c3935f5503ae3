"""The commands, one module a command or group."""
