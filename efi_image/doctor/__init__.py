"""Whether zpp will run on a machine: what its CPUs and its firmware show, and what follows."""
