"""CNN Lab: see, touch, train and take apart a convolutional network.

A library first: everything a page shows can be had from a notebook. The packages, from the top down, are
`ui → figures → images | ops → errors`; imports only point down, and nothing outside `cnnlab.ui` needs Streamlit.
"""

__version__ = "0.1.0"
