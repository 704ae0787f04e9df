"""Image files: TIFF, PNG and JPEG, with what the microscope says; needs the extra `files`."""
