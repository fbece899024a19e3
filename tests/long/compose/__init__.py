"""What compose_test.py stands on."""
