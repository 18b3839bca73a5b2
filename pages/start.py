"""Start: the pages, what each answers, and the current image as six kernels see it."""

from cnnlab.figures.pictures import to_picture
from cnnlab.ops import apply_kernel
from cnnlab.ui import gallery, page

page.head("start")
gallery.kernels(["sobel_x", "sobel_y", "laplacian", "edge8", "box_blur", "sharpen"])
gallery.pages()
page.code("start.code", __file__, [apply_kernel, to_picture])
