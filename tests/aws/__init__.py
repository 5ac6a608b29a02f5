"""The test bed of everything that talks to AWS: an account in a process of this machine.

`python -m tests.aws.emulator` is moto's server with what it lacks or is too kind about (folder `fidelity`);
`proxy` stands before it and loses, delays or refuses one call; `lab_hosts` gives instances the lab's containers.
"""
