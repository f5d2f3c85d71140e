(function_declaration name: (identifier) @name) @function
(method_declaration
  receiver: (parameter_list (parameter_declaration type: (_) @owner))
  name: (field_identifier) @name) @function
(short_var_declaration
  left: (expression_list . (identifier) @name .) right: (expression_list . (func_literal) @function .))
(var_spec name: (identifier) @name value: (expression_list . (func_literal) @function .))
(assignment_statement
  left: (expression_list . (identifier) @name .) right: (expression_list . (func_literal) @function .))
