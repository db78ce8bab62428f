# Completion of vidfs for fish. The program itself knows its words: this asks it for the rest.
_VIDFS_COMPLETE=fish_source vidfs 2>/dev/null | source
