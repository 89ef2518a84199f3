def missing_for_process_mount(): return None
