"""Files of images: PNG and JPEG, DICOM, NIfTI, each read to grey levels or Hounsfield units."""
