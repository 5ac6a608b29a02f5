"""The lab: systemd hosts in podman containers on one Linux machine, for the demo and for the tests.

Rooms: settings (names, folders), machine (what this machine can do), podman (how podman is called here),
image (the host image), hosts (containers, SSH), hub (stand-in for the public model hub), cloud and cloud_driver (switch
elastic hosts), demo (the phases of `make demo`), progress (what is printed), __main__ (the command line).
"""
