"""The pages of the lab, one thin file each. They are run by Streamlit, not imported."""
