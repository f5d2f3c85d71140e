[
  (assert_statement) (break_statement) (class_declaration) (continue_statement) (do_statement)
  (enhanced_for_statement) (explicit_constructor_invocation) (expression_statement) (for_statement)
  (if_statement) (labeled_statement) (local_variable_declaration) (return_statement)
  (synchronized_statement) (switch_expression) (throw_statement) (try_statement)
  (try_with_resources_statement) (while_statement) (yield_statement)
] @statement

[
  (do_statement) (enhanced_for_statement) (for_statement) (if_statement) (switch_expression)
  (ternary_expression) (try_statement) (try_with_resources_statement) (while_statement)
] @branch

(method_invocation name: (identifier) @call)
(object_creation_expression type: (type_identifier) @call)

[(line_comment) (block_comment)] @comment
[(marker_annotation) (annotation)] @decorator
