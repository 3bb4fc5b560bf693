"""Families of backbones: each file of this folder has some, in its ``BACKBONES``. See CONTRIBUTING.md to add one."""
