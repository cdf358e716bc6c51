"""U-Net segmentation of Carvana photos, in a few modules to be read in an evening.

`from carvana_lib.data import list_pairs` and so on; importing this package loads nothing else.
"""
