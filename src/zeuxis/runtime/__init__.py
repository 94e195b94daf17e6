"""What a command runs on and beside: the device, the load of the processor, signals, the display of progress."""
