// Functions for tfjs-node's addon: they build a TensorFlow graph operation by operation, without running anything, and
// register it as a function of the eager context. `executeOp` then runs the function by its name. Inputs and outputs
// stay on their device, resource variables included.
//
// A graph names its tensors by index, in the order in which its operations were added.

#include <node_api.h>

#include <memory>
#include <string>
#include <vector>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/eager/c_api.h"
#include "tf_auto_status.h"
#include "tfjs_backend.h"
#include "utils.h"

namespace tfnodejs {
namespace {

struct Graph {
  TF_Graph *graph = TF_NewGraph();
  std::vector<TF_Output> tensors;
  // Operations without outputs, as assignments: the function runs them though nothing reads them.
  std::vector<TF_Operation *> effects;
  int operations = 0;
  ~Graph() { TF_DeleteGraph(graph); }
};

// Reads arguments. After a failure an exception is pending and all further reads return empty values.
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info) : env_(env) {
    napi_get_cb_info(env, info, &count_, values_, nullptr, nullptr);
  }
  napi_value operator[](size_t i) const { return values_[i]; }
  Graph *graph() const {
    void *data = nullptr;
    napi_get_value_external(env_, values_[0], &data);
    return static_cast<Graph *>(data);
  }

 private:
  napi_env env_;
  napi_value values_[6];
  size_t count_ = 6;
};

std::string Text(napi_env env, napi_value value) {
  size_t length = 0;
  napi_get_value_string_utf8(env, value, nullptr, 0, &length);
  std::string text(length, '\0');
  napi_get_value_string_utf8(env, value, &text[0], length + 1, &length);
  return text;
}

std::vector<int64_t> Integers(napi_env env, napi_value array) {
  uint32_t length = 0;
  napi_get_array_length(env, array, &length);
  std::vector<int64_t> integers(length);
  for (uint32_t i = 0; i < length; i++) {
    napi_value element;
    napi_get_element(env, array, i, &element);
    napi_get_value_int64(env, element, &integers[i]);
  }
  return integers;
}

napi_value Property(napi_env env, napi_value object, const char *name) {
  napi_value value = nullptr;
  napi_get_named_property(env, object, name, &value);
  return value;
}

bool IsArray(napi_env env, napi_value value) {
  bool is_array = false;
  napi_is_array(env, value, &is_array);
  return is_array;
}

bool Failed(napi_env env, const TF_AutoStatus &status) {
  if (TF_GetCode(status.status) == TF_OK) return false;
  napi_throw_error(env, nullptr, TF_Message(status.status));
  return true;
}

// The attributes as tfjs-node gives them to executeOp: {name, type, value}.
void SetAttribute(napi_env env, TF_OperationDescription *operation, napi_value attribute) {
  const std::string name = Text(env, Property(env, attribute, "name"));
  int32_t type = -1;
  napi_get_value_int32(env, Property(env, attribute, "type"), &type);
  napi_value value = Property(env, attribute, "value");
  switch (type) {
    case TF_ATTR_TYPE: {
      int32_t data_type = 0;
      napi_get_value_int32(env, value, &data_type);
      TF_SetAttrType(operation, name.c_str(), static_cast<TF_DataType>(data_type));
      return;
    }
    case TF_ATTR_BOOL: {
      bool flag = false;
      napi_get_value_bool(env, value, &flag);
      TF_SetAttrBool(operation, name.c_str(), flag);
      return;
    }
    case TF_ATTR_FLOAT: {
      double number = 0;
      napi_get_value_double(env, value, &number);
      TF_SetAttrFloat(operation, name.c_str(), static_cast<float>(number));
      return;
    }
    case TF_ATTR_STRING: {
      const std::string text = Text(env, value);
      TF_SetAttrString(operation, name.c_str(), text.data(), text.size());
      return;
    }
    case TF_ATTR_SHAPE: {
      const auto shape = Integers(env, value);
      TF_SetAttrShape(operation, name.c_str(), shape.data(), static_cast<int>(shape.size()));
      return;
    }
    case TF_ATTR_INT: {
      if (IsArray(env, value)) {
        const auto integers = Integers(env, value);
        TF_SetAttrIntList(operation, name.c_str(), integers.data(), static_cast<int>(integers.size()));
      } else {
        int64_t integer = 0;
        napi_get_value_int64(env, value, &integer);
        TF_SetAttrInt(operation, name.c_str(), integer);
      }
      return;
    }
    default:
      napi_throw_error(env, nullptr, ("The attribute " + name + " is of a kind that graphs do not take.").c_str());
  }
}

// {index, shape, dtype} of a new tensor; shape is null where TensorFlow cannot infer it.
napi_value Describe(napi_env env, Graph *graph, TF_Output tensor) {
  napi_value description, index, dtype, shape;
  napi_create_object(env, &description);
  napi_create_int32(env, static_cast<int32_t>(graph->tensors.size()), &index);
  napi_create_int32(env, TF_OperationOutputType(tensor), &dtype);
  napi_get_null(env, &shape);
  TF_AutoStatus status;
  const int rank = TF_GraphGetTensorNumDims(graph->graph, tensor, status.status);
  if (Failed(env, status)) return nullptr;
  if (rank >= 0) {
    std::vector<int64_t> sizes(rank);
    TF_GraphGetTensorShape(graph->graph, tensor, sizes.data(), rank, status.status);
    if (Failed(env, status)) return nullptr;
    bool known = true;
    for (const int64_t size : sizes) known = known && size >= 0;
    if (known) {
      napi_create_array_with_length(env, rank, &shape);
      for (int i = 0; i < rank; i++) {
        napi_value size;
        napi_create_int64(env, sizes[i], &size);
        napi_set_element(env, shape, i, size);
      }
    }
  }
  graph->tensors.push_back(tensor);
  napi_set_named_property(env, description, "index", index);
  napi_set_named_property(env, description, "dtype", dtype);
  napi_set_named_property(env, description, "shape", shape);
  return description;
}

napi_value Finish(napi_env env, Graph *graph, TF_OperationDescription *description) {
  TF_AutoStatus status;
  TF_Operation *operation = TF_FinishOperation(description, status.status);
  if (Failed(env, status)) return nullptr;
  const int outputs = TF_OperationNumOutputs(operation);
  if (outputs == 0) graph->effects.push_back(operation);
  napi_value tensors;
  napi_create_array_with_length(env, outputs, &tensors);
  for (int i = 0; i < outputs; i++) {
    napi_value tensor = Describe(env, graph, TF_Output{operation, i});
    if (tensor == nullptr) return nullptr;
    napi_set_element(env, tensors, i, tensor);
  }
  return tensors;
}

// graphCreate(): graph
napi_value GraphCreate(napi_env env, napi_callback_info) {
  napi_value external = nullptr;
  napi_create_external(
      env, new Graph(), [](napi_env, void *data, void *) { delete static_cast<Graph *>(data); }, nullptr, &external);
  return external;
}

// graphOperation(graph, op, attributes, inputs, after): tensors
// An attribute N says that the first N inputs are one list. `after`: tensors that must be there before it runs.
napi_value GraphOperation(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Graph *graph = args.graph();
  const std::string op = Text(env, args[1]);
  const auto inputs = Integers(env, args[3]);
  const auto after = Integers(env, args[4]);
  const int tensors = static_cast<int>(graph->tensors.size());
  for (const auto *indices : {&inputs, &after})
    for (const int64_t index : *indices)
      if (index < 0 || index >= tensors) {
        napi_throw_error(env, nullptr, (op + " reads a tensor that is not in the graph.").c_str());
        return nullptr;
      }
  const std::string name = "n" + std::to_string(graph->operations++);
  TF_OperationDescription *operation = TF_NewOperation(graph->graph, op.c_str(), name.c_str());
  size_t list = 0;
  uint32_t count = 0;
  napi_get_array_length(env, args[2], &count);
  for (uint32_t i = 0; i < count; i++) {
    napi_value attribute;
    napi_get_element(env, args[2], i, &attribute);
    if (Text(env, Property(env, attribute, "name")) == "N") {
      int64_t length = 0;
      napi_get_value_int64(env, Property(env, attribute, "value"), &length);
      list = static_cast<size_t>(length);
    } else {
      SetAttribute(env, operation, attribute);
    }
  }
  if (list > 0) {
    std::vector<TF_Output> outputs;
    for (size_t i = 0; i < list && i < inputs.size(); i++) outputs.push_back(graph->tensors[inputs[i]]);
    TF_AddInputList(operation, outputs.data(), static_cast<int>(outputs.size()));
  }
  for (size_t i = list; i < inputs.size(); i++) TF_AddInput(operation, graph->tensors[inputs[i]]);
  for (const int64_t index : after) TF_AddControlInput(operation, graph->tensors[index].oper);
  return Finish(env, graph, operation);
}

// graphConstant(graph, shape, dtype, values): tensors
napi_value GraphConstant(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Graph *graph = args.graph();
  const auto shape = Integers(env, args[1]);
  int32_t dtype = 0;
  napi_get_value_int32(env, args[2], &dtype);
  napi_typedarray_type array_type;
  size_t length = 0;
  void *data = nullptr;
  napi_value buffer;
  size_t offset = 0;
  if (napi_get_typedarray_info(env, args[3], &array_type, &length, &data, &buffer, &offset) != napi_ok) {
    napi_throw_error(env, nullptr, "A constant takes a typed array.");
    return nullptr;
  }
  const size_t bytes = length * TF_DataTypeSize(static_cast<TF_DataType>(dtype));
  std::unique_ptr<TF_Tensor, decltype(&TF_DeleteTensor)> tensor(
      TF_AllocateTensor(static_cast<TF_DataType>(dtype), shape.data(), static_cast<int>(shape.size()), bytes),
      TF_DeleteTensor);
  if (TF_TensorByteSize(tensor.get()) != bytes || (bytes > 0 && data == nullptr)) {
    napi_throw_error(env, nullptr, "The values of a constant do not fit its shape.");
    return nullptr;
  }
  if (bytes > 0) memcpy(TF_TensorData(tensor.get()), data, bytes);
  const std::string name = "n" + std::to_string(graph->operations++);
  TF_OperationDescription *operation = TF_NewOperation(graph->graph, "Const", name.c_str());
  TF_SetAttrType(operation, "dtype", static_cast<TF_DataType>(dtype));
  TF_AutoStatus status;
  TF_SetAttrTensor(operation, "value", tensor.get(), status.status);
  if (Failed(env, status)) return nullptr;
  return Finish(env, graph, operation);
}

// graphSetShape(graph, index, shape): what TensorFlow cannot infer, as the value of a variable
napi_value GraphSetShape(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Graph *graph = args.graph();
  int64_t index = 0;
  napi_get_value_int64(env, args[1], &index);
  const auto shape = Integers(env, args[2]);
  TF_AutoStatus status;
  TF_GraphSetTensorShape(graph->graph, graph->tensors.at(index), shape.data(), static_cast<int>(shape.size()),
                         status.status);
  Failed(env, status);
  return nullptr;
}

// graphFunction(graph, name, inputs, outputs): registers the graph as a function of the eager context
napi_value GraphFunction(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Graph *graph = args.graph();
  const std::string name = Text(env, args[1]);
  const auto select = [&](napi_value indices) {
    std::vector<TF_Output> tensors;
    for (const int64_t index : Integers(env, indices)) tensors.push_back(graph->tensors.at(index));
    return tensors;
  };
  const auto inputs = select(args[2]);
  const auto outputs = select(args[3]);
  TFJSBackend *backend = nullptr;
  napi_get_instance_data(env, reinterpret_cast<void **>(&backend));
  TF_AutoStatus status;
  std::unique_ptr<TF_Function, decltype(&TF_DeleteFunction)> function(
      TF_GraphToFunctionWithControlOutputs(
          graph->graph, name.c_str(), 0, -1, nullptr, static_cast<int>(inputs.size()), inputs.data(),
          static_cast<int>(outputs.size()), outputs.data(), nullptr, static_cast<int>(graph->effects.size()),
          graph->effects.data(), nullptr, nullptr, nullptr, status.status),
      TF_DeleteFunction);
  if (Failed(env, status)) return nullptr;
  TFE_ContextAddFunction(backend->context(), function.get(), status.status);
  Failed(env, status);
  return nullptr;
}

// removeFunction(name)
napi_value RemoveFunction(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  TFJSBackend *backend = nullptr;
  napi_get_instance_data(env, reinterpret_cast<void **>(&backend));
  TF_AutoStatus status;
  // The first argument is the name, in place of a graph.
  TFE_ContextRemoveFunction(backend->context(), Text(env, args[0]).c_str(), status.status);
  Failed(env, status);
  return nullptr;
}

}  // namespace

void DefineGraphFunctions(napi_env env, napi_value exports) {
  const struct {
    const char *name;
    napi_callback callback;
  } functions[] = {{"graphCreate", GraphCreate},     {"graphOperation", GraphOperation},
                   {"graphConstant", GraphConstant}, {"graphSetShape", GraphSetShape},
                   {"graphFunction", GraphFunction}, {"removeFunction", RemoveFunction}};
  for (const auto &function : functions) {
    napi_value value;
    napi_create_function(env, function.name, NAPI_AUTO_LENGTH, function.callback, nullptr, &value);
    napi_set_named_property(env, exports, function.name, value);
  }
}

}  // namespace tfnodejs
