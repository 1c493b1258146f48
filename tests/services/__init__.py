"""Real servers for tests: found or installed, started on ports of their own, and gone when the tests are.

A service is one file with one subclass of `Running`: which binary, which command, when it is ready, how it ends. See
`pgbouncer.py` for a short one. Tests take fixtures (tests/conftest.py); a test that breaks a server starts its own.

`DAICHO_SERVICES` says what a missing server means:
    auto       install it when root, otherwise skip the test and say the cure
    require    install it when root, otherwise fail (CI)
    noinstall  never install: skip
    off        use no server at all: skip
"""
