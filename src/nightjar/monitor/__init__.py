"""What last night's output did, for a person to look at: numbers in, one page out. No files, no clock."""
