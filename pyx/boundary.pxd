# The boundary to the user: an exception that crosses it shows the user's frames only.

cdef void hide_internal_frames() noexcept      # of the exception that is set
