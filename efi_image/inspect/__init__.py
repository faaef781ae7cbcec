"""Looks into images and PE files without changing them.

image        facts about an image: table, partitions, volumes, files
pe           facts about a PE file
difference   two images or PE files, compared by meaning
extract      files of an image, written below a directory
"""
