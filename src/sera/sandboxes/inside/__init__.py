"""What runs on the far side of a backend: process 1 of each sandbox, and its spawner.

    spawner.py    one process per backend; forks once per sandbox and imports nothing afterwards
    root.py       builds the file system that a sandbox sees
    init.py       process 1: takes requests from the host, one at a time
    watch.py      its waiting: the host's hang-up, dead children, memory
    shell.py      the persistent shell
    programs.py   a program run apart from the shell
    processes.py  finding, killing and starting processes; the rights they run with
    files.py      read, write and list with the rights of the commands
    patch.py      the diff of the tree against the layer's commit
    tree.py       what is done to the tree while that diff is taken
    views.py      what git sees meanwhile
    contained.py  process 1 of a container, where an engine has put up the walls
    wire.py       the frames on the socket, used by the host too
    calls.py      the system calls a sandbox goes without
    kernel.py     system calls that Python does not offer
    spec.py       the settings all of them read

These modules use the standard library only and import each other relatively, because the spawner
is started by a bare interpreter (`-I -S`) that knows nothing of the installed packages. Nothing
here may import lazily: once a sandbox stands, the interpreter's own files may be out of reach.
"""
