"""What runs in the browser: the shell around the pages, the workbench, the widgets that pages share."""
