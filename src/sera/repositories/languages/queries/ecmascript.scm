; What JavaScript and TypeScript share. Of the patterns that fit one node, the first names it.
(variable_declarator name: (identifier) @name
  value: [(arrow_function) (function_expression) (generator_function)] @function)
(assignment_expression left: [(identifier) (member_expression)] @name
  right: [(arrow_function) (function_expression) (generator_function)] @function)
(pair key: (_) @name value: [(arrow_function) (function_expression) (generator_function)] @function)
(method_definition name: (_) @name) @function
(function_declaration name: (identifier) @name) @function
(generator_function_declaration name: (identifier) @name) @function
(export_statement value: [(arrow_function) (function_expression) (generator_function)] @function)
(function_expression name: (identifier) @name) @function
(generator_function name: (identifier) @name) @function

(class_declaration name: (_) @name) @class
(variable_declarator name: (identifier) @name value: [(class) (object)] @class)
(assignment_expression left: [(identifier) (member_expression)] @name right: [(class) (object)] @class)
(pair key: (_) @name value: [(class) (object)] @class)
(export_statement value: [(class) (object)] @class)
(class name: (_) @name) @class
