"""The commands of ``python -m alexnet``, a module each.

A module whose name does not begin with an underscore is the command of that name. Its docstring is the command's help,
``EXAMPLE`` is shown below it, ``add_arguments(parser)`` declares the arguments and ``run(arguments)`` returns the exit status.
All modules are imported for each command, so ``run`` imports what is slow, such as torch.
"""
