pytest_plugins = ["kiln_testing.fixtures", "kiln_testing.hostile"]
