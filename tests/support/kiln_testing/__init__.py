"""What Kiln's system tests stand on: a running system, and judges that share no code with it."""
