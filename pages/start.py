"""Start: the pages, what each answers, and the current image as six kernels see it."""

from cnnlab.ui import gallery, page

page.head("start")
gallery.kernels(["sobel_x", "sobel_y", "laplacian", "edge8", "box_blur", "sharpen"])
gallery.pages()
