[
  (break_statement) (class_declaration) (continue_statement) (debugger_statement) (do_statement)
  (expression_statement) (for_in_statement) (for_statement) (function_declaration)
  (generator_function_declaration) (if_statement) (labeled_statement) (lexical_declaration)
  (return_statement) (switch_statement) (throw_statement) (try_statement) (variable_declaration)
  (while_statement) (with_statement)
] @statement

[
  (do_statement) (for_in_statement) (for_statement) (if_statement) (switch_statement)
  (ternary_expression) (try_statement) (while_statement) "&&" "||" "??"
] @branch

(call_expression function: [
  (identifier) @call
  (member_expression property: [(property_identifier) (private_property_identifier)] @call)
])
(new_expression constructor: (identifier) @call)

(comment) @comment
(decorator) @decorator
