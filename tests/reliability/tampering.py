"""What is done to a command's process before it begins: frames that change under its hands, and the like."""
