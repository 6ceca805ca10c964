"""nbgrader's settings for assignments in Rust; nbgrader reads this file in the folder in which it is started."""

c = get_config()  # noqa: F821, nbgrader defines it

# The kernel that grades, whatever a hand-in names.
c.Execute.kernel_name = "diabolo"

# What students find instead of a solution. It compiles where any type is wanted, and ends its own cell only.
c.ClearSolutions.code_stub = {"rust": "// YOUR CODE HERE\ntodo!()"}

# For a cell; nbgrader's own 30 seconds are too few for a training. A loop without an end is ended after it.
c.Execute.timeout = 300

# For a kernel that is started the first time after a change of diabolo, and for a machine that has other work to do.
c.Execute.startup_timeout = 600
c.Execute.iopub_timeout = 60
