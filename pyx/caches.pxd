# Tables with a bound, known by name.
cpdef int keep(dict table, object key, object value, Py_ssize_t bound, str name) except -1
