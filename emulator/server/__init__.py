"""Where the emulator is put together: the only room that knows all services."""
