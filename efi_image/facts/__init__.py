"""What is known of images and PE files, as plain values to show, compare and turn into JSON.

pe          facts about a PE file
signature   who signed it
image       facts about an image: table, partitions, volumes, files
difference  two images or PE files, compared by meaning
picture     the layout of an image, in the terminal and as SVG
text        tables and trees for people
"""
