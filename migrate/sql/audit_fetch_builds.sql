-- verify-audit: the next builds.
FETCH FORWARD 500 FROM audit_builds
