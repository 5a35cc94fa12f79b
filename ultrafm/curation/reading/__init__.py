"""From a site's source to rows and decoded frames: tables, folders, DICOM, clips, archives and hubs."""
