"""What every part of the emulator uses: state, settings, clock, faults, errors. No HTTP, no service."""
