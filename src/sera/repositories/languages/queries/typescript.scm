(public_field_definition name: (_) @name
  value: [(arrow_function) (function_expression) (generator_function)] @function)
(public_field_definition name: (_) @name value: [(class) (object)] @class)
(function_signature name: (identifier) @name) @function
(class_body [(method_signature name: (_) @name) (abstract_method_signature name: (_) @name)] @function)

(abstract_class_declaration name: (_) @name) @class
(internal_module name: (_) @name) @module
(module name: (_) @name) @module
