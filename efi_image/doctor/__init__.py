"""Whether zpp will run on a machine, judged by its CPUs and firmware."""
